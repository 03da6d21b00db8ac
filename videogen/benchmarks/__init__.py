"""What `videogen bench` measures, each figure beside its baseline, in one run."""
