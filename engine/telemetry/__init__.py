"""What the machine does: GPUs, host memory, NPU, and who holds the memory."""
