;;@wrap 20000
(component)
