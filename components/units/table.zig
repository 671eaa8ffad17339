//! The units that are known. No WIT here.

const std = @import("std");

/// What a unit measures, in the order of the WIT.
pub const Dimension = enum(u8) { length, mass, time, temperature, area, volume, speed, storage };

/// One unit: `base = value * factor + offset`, where base is the SI unit (litre for volume, byte for storage).
pub const Unit = struct {
    name: []const u8,
    symbol: []const u8,
    dimension: Dimension,
    factor: f64,
    offset: f64 = 0,
    /// Further names, in lower case; a plural with `s` needs none.
    aliases: []const []const u8 = &.{},
};

pub const units = [_]Unit{
    .{ .name = "millimetre", .symbol = "mm", .dimension = .length, .factor = 1e-3, .aliases = &.{ "millimeter", "millimeters" } },
    .{ .name = "centimetre", .symbol = "cm", .dimension = .length, .factor = 1e-2, .aliases = &.{ "centimeter", "centimeters" } },
    .{ .name = "metre", .symbol = "m", .dimension = .length, .factor = 1, .aliases = &.{ "meter", "meters" } },
    .{ .name = "kilometre", .symbol = "km", .dimension = .length, .factor = 1e3, .aliases = &.{ "kilometer", "kilometers" } },
    .{ .name = "inch", .symbol = "in", .dimension = .length, .factor = 0.0254, .aliases = &.{"inches"} },
    .{ .name = "foot", .symbol = "ft", .dimension = .length, .factor = 0.3048, .aliases = &.{"feet"} },
    .{ .name = "yard", .symbol = "yd", .dimension = .length, .factor = 0.9144 },
    .{ .name = "mile", .symbol = "mi", .dimension = .length, .factor = 1609.344 },
    .{ .name = "nautical mile", .symbol = "nmi", .dimension = .length, .factor = 1852 },

    .{ .name = "milligram", .symbol = "mg", .dimension = .mass, .factor = 1e-6 },
    .{ .name = "gram", .symbol = "g", .dimension = .mass, .factor = 1e-3 },
    .{ .name = "kilogram", .symbol = "kg", .dimension = .mass, .factor = 1, .aliases = &.{ "kilo", "kilos" } },
    .{ .name = "tonne", .symbol = "t", .dimension = .mass, .factor = 1e3 },
    .{ .name = "ounce", .symbol = "oz", .dimension = .mass, .factor = 0.028349523125 },
    .{ .name = "pound", .symbol = "lb", .dimension = .mass, .factor = 0.45359237 },
    .{ .name = "stone", .symbol = "st", .dimension = .mass, .factor = 6.35029318 },

    .{ .name = "millisecond", .symbol = "ms", .dimension = .time, .factor = 1e-3 },
    .{ .name = "second", .symbol = "s", .dimension = .time, .factor = 1 },
    .{ .name = "minute", .symbol = "min", .dimension = .time, .factor = 60 },
    .{ .name = "hour", .symbol = "h", .dimension = .time, .factor = 3600 },
    .{ .name = "day", .symbol = "d", .dimension = .time, .factor = 86400 },
    .{ .name = "week", .symbol = "wk", .dimension = .time, .factor = 604800 },

    .{ .name = "kelvin", .symbol = "K", .dimension = .temperature, .factor = 1 },
    .{ .name = "celsius", .symbol = "°C", .dimension = .temperature, .factor = 1, .offset = 273.15, .aliases = &.{ "c", "degree celsius", "degrees celsius", "centigrade" } },
    .{ .name = "fahrenheit", .symbol = "°F", .dimension = .temperature, .factor = 5.0 / 9.0, .offset = 459.67 * 5.0 / 9.0, .aliases = &.{ "f", "degree fahrenheit", "degrees fahrenheit" } },

    .{ .name = "square metre", .symbol = "m²", .dimension = .area, .factor = 1, .aliases = &.{ "m2", "square meter", "square meters" } },
    .{ .name = "hectare", .symbol = "ha", .dimension = .area, .factor = 1e4 },
    .{ .name = "square kilometre", .symbol = "km²", .dimension = .area, .factor = 1e6, .aliases = &.{ "km2", "square kilometer", "square kilometers" } },
    .{ .name = "acre", .symbol = "ac", .dimension = .area, .factor = 4046.8564224 },

    .{ .name = "millilitre", .symbol = "ml", .dimension = .volume, .factor = 1e-3, .aliases = &.{ "milliliter", "milliliters" } },
    .{ .name = "litre", .symbol = "l", .dimension = .volume, .factor = 1, .aliases = &.{ "liter", "liters" } },
    .{ .name = "cubic metre", .symbol = "m³", .dimension = .volume, .factor = 1e3, .aliases = &.{ "m3", "cubic meter", "cubic meters" } },
    .{ .name = "US gallon", .symbol = "gal", .dimension = .volume, .factor = 3.785411784, .aliases = &.{ "gallon", "gallons" } },
    .{ .name = "imperial pint", .symbol = "pt", .dimension = .volume, .factor = 0.56826125, .aliases = &.{ "pint", "pints" } },

    .{ .name = "metre per second", .symbol = "m/s", .dimension = .speed, .factor = 1, .aliases = &.{ "metres per second", "meter per second", "meters per second" } },
    .{ .name = "kilometre per hour", .symbol = "km/h", .dimension = .speed, .factor = 1.0 / 3.6, .aliases = &.{ "kilometres per hour", "kilometers per hour", "kph" } },
    .{ .name = "mile per hour", .symbol = "mph", .dimension = .speed, .factor = 0.44704, .aliases = &.{"miles per hour"} },
    .{ .name = "knot", .symbol = "kn", .dimension = .speed, .factor = 1852.0 / 3600.0 },

    .{ .name = "bit", .symbol = "bit", .dimension = .storage, .factor = 0.125 },
    .{ .name = "byte", .symbol = "B", .dimension = .storage, .factor = 1 },
    .{ .name = "kilobyte", .symbol = "kB", .dimension = .storage, .factor = 1e3 },
    .{ .name = "megabyte", .symbol = "MB", .dimension = .storage, .factor = 1e6 },
    .{ .name = "gigabyte", .symbol = "GB", .dimension = .storage, .factor = 1e9 },
    .{ .name = "kibibyte", .symbol = "KiB", .dimension = .storage, .factor = 1024 },
    .{ .name = "mebibyte", .symbol = "MiB", .dimension = .storage, .factor = 1048576 },
    .{ .name = "gibibyte", .symbol = "GiB", .dimension = .storage, .factor = 1073741824 },
};

/// Finds a unit by its symbol, exactly as written.
pub fn bySymbol(symbol: []const u8) ?*const Unit {
    for (&units) |*unit| {
        if (std.mem.eql(u8, unit.symbol, symbol)) return unit;
    }
    return null;
}

/// Finds a unit by a name in lower case, singular or plural.
pub fn byName(name: []const u8) ?*const Unit {
    const singular = if (std.mem.endsWith(u8, name, "s")) name[0 .. name.len - 1] else name;
    for (&units) |*unit| {
        if (std.ascii.eqlIgnoreCase(unit.name, name) or std.ascii.eqlIgnoreCase(unit.name, singular)) return unit;
        for (unit.aliases) |alias| {
            if (std.mem.eql(u8, alias, name)) return unit;
        }
    }
    return null;
}

test "every unit is found by its symbol, its name and its aliases, and by nothing twice" {
    for (&units) |*unit| {
        try std.testing.expectEqual(unit, bySymbol(unit.symbol).?);
        try std.testing.expectEqual(unit, byName(unit.name).?);
        for (unit.aliases) |alias| try std.testing.expectEqual(unit, byName(alias).?);
    }
    try std.testing.expectEqual(null, bySymbol("parsec"));
    try std.testing.expectEqual(null, byName(""));
}
