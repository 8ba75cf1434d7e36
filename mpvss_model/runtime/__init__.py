"""What the model runs on: devices, precision, memory, threads and CUDA graphs; signals and progress of long work."""
