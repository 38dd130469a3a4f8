"""The noise engine on a GPU: plans and noise of batches of clips that never leave the device.

Kernels in Triton; the same bits as the host's. Importing this needs torch and triton.
"""
