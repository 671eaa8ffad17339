// Greets people: the exports of the world in wit/world.wit, as build/bindings/component.h declares them.

#include <stdio.h>
#include <stdlib.h>

#include "component.h"

// Returns true and fills `ret`, or returns false and fills `err`.
bool exports_{{namespace_snake}}_{{name_snake}}_greeter_greet(component_string_t *name, component_string_t *ret,
                                                              component_string_t *err) {
    if (name->len == 0) {
        component_string_dup(err, "nobody to greet");
        return false;
    }
    static const char before[] = "Hello, ";
    size_t size = sizeof before + name->len + 1;
    char *text = malloc(size);
    if (text == NULL) {
        abort();
    }
    // Strings of the component model are not terminated: their length says where they end.
    int length = snprintf(text, size, "%s%.*s!", before, (int)name->len, (const char *)name->ptr);
    component_string_free(name);
    ret->ptr = (uint8_t *)text;
    ret->len = (size_t)length;
    return true;
}
