//! Units of measure: the exports of the world `units`. The bindings are generated from the WIT as C and translated by Zig.

const std = @import("std");
const wit = @import("bindings");
const table = @import("table.zig");

const String = wit.units_string_t;
const Quantity = wit.exports_demo_units_convert_quantity_t;
const Failure = wit.exports_demo_units_convert_convert_error_t;
const WitUnit = wit.exports_demo_units_convert_unit_t;

/// Why a quantity cannot be read or converted. What goes with each is kept beside it, in `Problem`.
const ConvertError = error{ UnknownUnit, DifferentDimensions, NotANumber, BelowAbsoluteZero, OutOfRange };

/// The facts of a `ConvertError`.
const Problem = struct {
    text: []const u8 = "",
    given: table.Dimension = .length,
    wanted: table.Dimension = .length,
    kelvin: f64 = 0,
};

// ---- exports ----

/// Returns true and fills `ret`, or returns false and fills `failure`.
export fn exports_demo_units_convert_convert(quantity: *Quantity, to: *String, ret: *Quantity, failure: *Failure) bool {
    defer wit.exports_demo_units_convert_quantity_free(quantity);
    defer wit.units_string_free(to);
    var problem: Problem = .{};
    ret.* = convert(quantity.value, bytesOf(quantity.unit), bytesOf(to.*), &problem) catch |err| {
        failure.* = describe(err, problem);
        return false;
    };
    return true;
}

export fn exports_demo_units_convert_parse(text: *String, ret: *Quantity, failure: *Failure) bool {
    defer wit.units_string_free(text);
    var problem: Problem = .{};
    ret.* = parse(bytesOf(text.*), &problem) catch |err| {
        failure.* = describe(err, problem);
        return false;
    };
    return true;
}

export fn exports_demo_units_convert_find(name: *String, ret: *WitUnit) bool {
    defer wit.units_string_free(name);
    const unit = find(bytesOf(name.*)) orelse return false;
    ret.* = toWit(unit);
    return true;
}

export fn exports_demo_units_convert_units(dimension: ?*u8, ret: *wit.exports_demo_units_convert_list_unit_t) void {
    var count: usize = 0;
    for (&table.units) |*unit| count += @intFromBool(measures(unit, dimension));
    const list = std.heap.c_allocator.alloc(WitUnit, count) catch @trap();
    var next: usize = 0;
    for (&table.units) |*unit| {
        if (!measures(unit, dimension)) continue;
        list[next] = toWit(unit);
        next += 1;
    }
    ret.* = .{ .ptr = list.ptr, .len = list.len };
}

// ---- the work ----

fn convert(value: f64, from: []const u8, to: []const u8, problem: *Problem) ConvertError!Quantity {
    if (!std.math.isFinite(value)) return error.OutOfRange;
    const source = try require(from, problem);
    const target = try require(to, problem);
    if (source.dimension != target.dimension) {
        problem.given = source.dimension;
        problem.wanted = target.dimension;
        return error.DifferentDimensions;
    }
    if (source == target) return quantityOf(value, target);
    const base = value * source.factor + source.offset;
    if (source.dimension == .temperature and base < -1e-9) {
        problem.kelvin = base;
        return error.BelowAbsoluteZero;
    }
    const converted = (base - target.offset) / target.factor;
    // Offsets of hundreds of degrees cost the last digits; a billionth of a degree is kept.
    return quantityOf(if (target.offset == 0) converted else @round(converted * 1e9) / 1e9, target);
}

fn parse(text: []const u8, problem: *Problem) ConvertError!Quantity {
    const trimmed = std.mem.trim(u8, text, " \t\r\n");
    const length = numberLength(trimmed);
    const value = std.fmt.parseFloat(f64, trimmed[0..length]) catch {
        problem.text = trimmed;
        return error.NotANumber;
    };
    return quantityOf(value, try require(trimmed[length..], problem));
}

/// Returns how many bytes at the start of `text` are a decimal number; 0 when it does not begin with one.
fn numberLength(text: []const u8) usize {
    var at: usize = @intFromBool(text.len > 0 and (text[0] == '-' or text[0] == '+'));
    const whole = digits(text, at);
    at += whole;
    var fraction: usize = 0;
    if (at < text.len and text[at] == '.') {
        fraction = digits(text, at + 1);
        if (fraction > 0) at += 1 + fraction;
    }
    if (whole + fraction == 0) return 0;
    if (at < text.len and (text[at] == 'e' or text[at] == 'E')) {
        const sign: usize = @intFromBool(at + 1 < text.len and (text[at + 1] == '-' or text[at + 1] == '+'));
        const exponent = digits(text, at + 1 + sign);
        if (exponent > 0) at += 1 + sign + exponent;
    }
    return at;
}

fn digits(text: []const u8, start: usize) usize {
    var at = start;
    while (at < text.len and std.ascii.isDigit(text[at])) at += 1;
    return at - @min(start, at);
}

fn require(name: []const u8, problem: *Problem) ConvertError!*const table.Unit {
    return find(name) orelse {
        problem.text = std.mem.trim(u8, name, " \t\r\n");
        return error.UnknownUnit;
    };
}

/// Finds a unit by symbol, or by name after `demo:text` has tidied it up.
fn find(name: []const u8) ?*const table.Unit {
    const trimmed = std.mem.trim(u8, name, " \t\r\n");
    if (table.bySymbol(trimmed)) |unit| return unit;
    // The imports borrow their arguments; what they return belongs to us.
    var given = borrowed(trimmed);
    var tidy: String = undefined;
    wit.demo_text_prose_clean(&given, wit.DEMO_TEXT_PROSE_CLEANING_TRIM | wit.DEMO_TEXT_PROSE_CLEANING_COLLAPSE, &tidy);
    defer wit.units_string_free(&tidy);
    var lower: String = undefined;
    wit.demo_text_prose_change_case(&tidy, wit.DEMO_TEXT_PROSE_LETTER_CASE_LOWER, &lower);
    defer wit.units_string_free(&lower);
    return table.byName(bytesOf(lower));
}

fn measures(unit: *const table.Unit, dimension: ?*const u8) bool {
    const wanted = dimension orelse return true;
    return @backingInt(unit.dimension) == wanted.*;
}

// ---- to and from the WIT ----

fn bytesOf(string: String) []const u8 {
    return if (string.len == 0) "" else string.ptr[0..string.len];
}

/// A view of `bytes` for an import to read.
fn borrowed(bytes: []const u8) String {
    return .{ .ptr = @constCast(bytes.ptr), .len = bytes.len };
}

/// A copy of `bytes` for the caller, who frees it.
fn owned(bytes: []const u8) String {
    var string: String = undefined;
    wit.units_string_dup_n(&string, bytes.ptr, bytes.len);
    return string;
}

fn toWit(unit: *const table.Unit) WitUnit {
    return .{ .name = owned(unit.name), .symbol = owned(unit.symbol), .dimension = @backingInt(unit.dimension) };
}

fn quantityOf(value: f64, unit: *const table.Unit) ConvertError!Quantity {
    if (!std.math.isFinite(value)) return error.OutOfRange;
    return .{ .value = value, .unit = owned(unit.symbol) };
}

fn describe(err: ConvertError, problem: Problem) Failure {
    return switch (err) {
        error.UnknownUnit => .{
            .tag = wit.EXPORTS_DEMO_UNITS_CONVERT_CONVERT_ERROR_UNKNOWN_UNIT,
            .val = .{ .unknown_unit = owned(problem.text) },
        },
        error.DifferentDimensions => .{
            .tag = wit.EXPORTS_DEMO_UNITS_CONVERT_CONVERT_ERROR_DIFFERENT_DIMENSIONS,
            .val = .{ .different_dimensions = .{
                .given = @backingInt(problem.given),
                .wanted = @backingInt(problem.wanted),
            } },
        },
        error.NotANumber => .{
            .tag = wit.EXPORTS_DEMO_UNITS_CONVERT_CONVERT_ERROR_NOT_A_NUMBER,
            .val = .{ .not_a_number = owned(problem.text) },
        },
        error.BelowAbsoluteZero => .{
            .tag = wit.EXPORTS_DEMO_UNITS_CONVERT_CONVERT_ERROR_BELOW_ABSOLUTE_ZERO,
            .val = .{ .below_absolute_zero = problem.kelvin },
        },
        error.OutOfRange => .{
            .tag = wit.EXPORTS_DEMO_UNITS_CONVERT_CONVERT_ERROR_OUT_OF_RANGE,
            .val = undefined,
        },
    };
}
