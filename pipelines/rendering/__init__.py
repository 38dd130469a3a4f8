"""Driving videos of any size and length to videos: survey, motion of long ones, windows, and the videos themselves."""
