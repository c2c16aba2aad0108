"""HIL-SERL: soft actor-critic from images, demonstrations and a person's corrections."""
