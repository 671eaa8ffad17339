//! Greets people.

wit_bindgen::generate!({
    path: "wit",
    world: "component",
    generate_all,
});

use exports::{{namespace_snake}}::{{name_snake}}::greeter::Guest;

struct Component;

impl Guest for Component {
    fn greet(name: String) -> Result<String, String> {
        if name.is_empty() {
            return Err("nobody to greet".to_owned());
        }
        Ok(format!("Hello, {name}!"))
    }
}

export!(Component);
