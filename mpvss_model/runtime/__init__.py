"""What the model runs on: devices, precision, memory, threads and CUDA graphs."""
