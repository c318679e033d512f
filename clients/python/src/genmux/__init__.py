"""A client of Genmux, with nothing but the standard library."""

from .client import Client, GenmuxError, JobFailed
from .webhook import SignatureError, verify

__all__ = ["Client", "GenmuxError", "JobFailed", "SignatureError", "verify"]
