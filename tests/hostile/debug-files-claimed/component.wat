(component
  (core module $m
    (func $main (export "f") (result i32) unreachable)
    (@custom ".debug_abbrev" "\01\11\01\11\01\55\17\10\17\00\00\02\1d\00\31\13\11\01\12\06\58\0b\59\0b\00\00\03\1d\01\31\13\11\01\12\06\58\0b\59\0b\00\00\04\1d\00\31\13\55\17\00\00\00")
    (@custom ".debug_info" "\15\00\00\00\04\00\00\00\00\00\04\01\00\00\00\00\00\00\00\00\00\00\00\00\00")
    (@custom ".debug_line" "\63\42\0f\00\05\00\04\00\5b\42\0f\00\01\01\01\fb\0e\0d\00\01\01\01\01\00\00\00\01\00\00\01\01\01\0a\80\80\80\80\80\20%\00*1000000%"))
  (core instance $i (instantiate $m))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))
