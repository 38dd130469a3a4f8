"""Pretrained networks: optical flow, depth, VideoCrafter2, and what metrics look through.

Weights come from local paths; nothing is downloaded.

Importing this package loads neither torch nor pydantic.
"""
