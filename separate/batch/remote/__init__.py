"""Inputs and outputs in object stores and on SFTP servers."""
