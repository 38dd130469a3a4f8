"""VideoCrafter2 (Chen et al. 2024, "Overcoming Data Limitations for High-Quality Video Diffusion Models").

The first backbone of the paper: a UNet over latent videos that predicts the noise, and an autoencoder of single frames.
Tensors have the names and shapes of the public 320x512 checkpoint. Importing this package loads no torch.
"""
