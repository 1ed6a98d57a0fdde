// A team of threads that lives as long as one call.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace halo::compact {

class Team {
  public:
    explicit Team(int threads) {
        try {
            for (int i = 1; i < threads; ++i) {
                workers_.emplace_back([this, i] { work(i); });
            }
        } catch (...) { // fewer threads than asked for do the same work
        }
    }

    ~Team() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (auto & worker : workers_) {
            worker.join();
        }
    }

    Team(const Team &) = delete;
    Team & operator=(const Team &) = delete;

    int size() const { return int(workers_.size()) + 1; }

    // Calls body(index, worker) for each index below n; rethrows the first exception.
    void run(int n, const std::function<void(int, int)> & body) {
        if (workers_.empty() || n <= 1) {
            for (int i = 0; i < n; ++i) {
                body(i, 0);
            }
            return;
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            body_ = &body;
            count_ = n;
            next_ = 0;
            busy_ = int(workers_.size());
            error_ = nullptr;
            ++round_;
        }
        wake_.notify_all();
        drain(body, n, 0);
        std::unique_lock<std::mutex> lock(mutex_);
        idle_.wait(lock, [this] { return busy_ == 0; });
        if (error_) {
            std::rethrow_exception(error_);
        }
    }

  private:
    void drain(const std::function<void(int, int)> & body, int n, int worker) {
        for (int i; (i = next_.fetch_add(1)) < n;) {
            try {
                body(i, worker);
            } catch (...) {
                std::lock_guard<std::mutex> lock(mutex_);
                if (!error_) {
                    error_ = std::current_exception();
                }
                next_ = n;
            }
        }
    }

    void work(int worker) {
        for (long seen = 0;;) {
            const std::function<void(int, int)> * body;
            int n;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || round_ != seen; });
                if (stop_) {
                    return;
                }
                seen = round_;
                body = body_;
                n = count_;
            }
            drain(*body, n, worker);
            std::lock_guard<std::mutex> lock(mutex_);
            if (--busy_ == 0) {
                idle_.notify_one();
            }
        }
    }

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_, idle_;
    const std::function<void(int, int)> * body_ = nullptr;
    std::atomic<int> next_{0};
    int count_ = 0, busy_ = 0;
    long round_ = 0;
    bool stop_ = false;
    std::exception_ptr error_;
};

} // namespace halo::compact
