(component
  (core module $m
    (func $main (export "f") (result i32) unreachable)
    (@custom ".debug_abbrev" "\01\11\01%\11\01*600000%\00\00\00")
    (@custom ".debug_info" "%\14\00\00\00\04\00\00\00\00\00\04\01\00\00\00\00\00\00\00\00\00\00\00\00*100000%")
    (@custom ".debug_line" "\2e\00\00\00\04\00\1b\00\00\00\01\01\01\fb\0e\0d\00\01\01\01\01\00\00\00\01\00\00\01\00\61\2e\63\00\00\00\00\00\00\05\02\03\00\00\00\14\02\03\00\01\01"))
  (core instance $i (instantiate $m))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))
