// Keys, biases and values of the kept cells, refined together; never worse on queries that judge.
#pragma once

#include "head.h"

namespace halo::compact {

struct Bounds {
    float lo, hi;
};

// What is minimised, over the fitting queries: the error of the attention output as the model sees it,
// |s'o' - s o|^2, with s the span's share of the attention (from its mass and that of the rest), and
// (s' - s)^2 |o|^2 for what the rest gets too much or too little of.
class Refiner {
  public:
    struct Cells {
        Floats keys, beta, values; // [m, d], [m] total, [m, dv]
    };

    struct Judgement {
        float error = 1;  // of the output at the share that it had: as in the diagnostics
        float mass = 0;   // mean |log(mass' / mass)|
        double loss = 0;  // what is minimised, over the held-out queries
    };

    // Bounds are of the change of beta and of the magnitude of values.
    Refiner(const Head & head, const Indices & cells, Bounds beta, float value_limit);

    // Begins at the chosen cells with these weights [m] and values [m, dv].
    void start(const Floats & weights, const Floats & values);

    // True when it found something better for the held-out queries than the start, with an output error
    // of at most `bar`; `best` is how they judge it.
    bool run(int steps, float bar, Judgement & best);

    const Cells & cells() const { return now_; }

  private:
    // One array of parameters with Adam's moments; `rate` is what a step is measured in.
    struct Moving {
        Floats mean, square;
        float rate;
        void step(float * x, const float * slope, float rate_now, float mean_part, float square_part);
    };

    void look(const float * queries, int count);
    float share_now(int query, int row) const;
    Judgement judge();
    void descend(int upto, int done, int steps, int whole, float rate);
    void bound();
    void reset();

    const Head & head_;
    int m_;
    Bounds beta_;
    float value_limit_, key_scale_ = 0, value_scale_ = 0, unit_ = 0;
    Floats original_, before_;                // keys and biases of the cells as they were
    Floats targets_, share_, rest_, output_;  // s o, s, log mass of the rest, |o|^2
    Cells now_;
    std::vector<Moving> moving_;
    Random random_{7};
    Indices chosen_;
    Floats batch_, weights_, slopes_, caps_, mass_, outputs_, mass_slope_;
    Floats slope_keys_, slope_beta_, slope_values_;
};

} // namespace halo::compact
