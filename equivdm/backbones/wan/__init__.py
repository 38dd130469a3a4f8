"""Wan 2.1 through diffusers: text to video (Wan Team 2025, arXiv 2503.20314) and VACE (Jiang et al. 2025, 2503.07598).

Folders are diffusers' own, with the parts `transformer`, `vae`, `text_encoder` and `tokenizer`. Importing this package
loads no torch; diffusers and transformers are loaded where a model is.
"""
