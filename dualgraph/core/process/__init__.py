"""The process that everything runs in: its threads, forks, signals and memory.

workers     threads of our own for jobs beside the caller     turns (when they get the processor), spared (what jobs
            may fail of, and what is shown)
forks       what a fork waits for, and what a child forgets     alone (one thread at a time)
interrupts  Ctrl-C comes between calls
settings    thread switching and garbage collection while work is in hand
silence     NumPy's floating-point warnings off for kernels
paused      no garbage collection during the package's import
heap        freed memory goes back to the system
forever     objects that outlive their modules
"""
