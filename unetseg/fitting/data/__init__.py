"""From a folder of images and masks to the crops of a batch."""
