"""Social images: learned from pictures with tags, encoded from the picture."""
