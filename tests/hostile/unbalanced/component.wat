(component (core module
