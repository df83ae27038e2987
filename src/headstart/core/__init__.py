"""What every room stands on: errors, digests, paths, records, format numbers and the progress protocol.

Standard library only. A thing belongs here when at least two rooms need it and none of them owns it.
"""
