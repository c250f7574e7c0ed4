"""Recorded episodes as others write them, read one by one: DROID, LeRobot, HDF5 and npz."""
