//! Greets people: the exports of the world in wit/world.wit, as the module `bindings` declares them.

const std = @import("std");
const wit = @import("bindings");

const String = wit.component_string_t;

/// Returns true and fills `ret`, or returns false and fills `err`.
export fn exports_{{namespace_snake}}_{{name_snake}}_greeter_greet(name: *String, ret: *String, err: *String) bool {
    defer wit.component_string_free(name);
    if (name.len == 0) {
        wit.component_string_dup(err, "nobody to greet");
        return false;
    }
    // The bindings free what is returned with C's free, so C's allocator makes it.
    const text = std.fmt.allocPrint(std.heap.c_allocator, "Hello, {s}!", .{name.ptr[0..name.len]}) catch @trap();
    ret.* = .{ .ptr = text.ptr, .len = text.len };
    return true;
}
