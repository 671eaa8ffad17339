// Greets people: the exports of the world in wit/world.wit, as build/bindings/component_cpp.h declares them.

#include <expected>
#include <string>

#include "component_cpp.h"

std::expected<wit::string, wit::string> exports::{{namespace_snake}}::{{name_snake}}::greeter::Greet(wit::string name) {
    if (name.size() == 0) {
        return std::unexpected(wit::string::from_view("nobody to greet"));
    }
    std::string text = "Hello, ";
    text += name.get_view();
    text += "!";
    return wit::string::from_view(text);
}
