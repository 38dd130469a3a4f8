"""Pretrained networks that look at a video: optical flow, depth. Weights come from local paths; nothing is downloaded.

Importing this package loads neither torch nor pydantic.
"""
