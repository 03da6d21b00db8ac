"""The config of a run, one frozen section per stage, and the settings of the machine."""
