"""From sorted images to a model bundle. May import `edge`; never runs on the board.

TensorFlow adds in another order with every number of threads, and sums differ in the last bit: so that one
seed gives one model, however many cores there are, everything here computes on one. It must be said before
TensorFlow is loaded.
"""

import os

ONE_THREAD = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

for _name in ONE_THREAD:
    os.environ[_name] = "1"
