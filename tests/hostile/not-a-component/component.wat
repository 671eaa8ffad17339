(picture of a component)
