(component
  (type $t0 (tuple u8 u8))
  ;;@repeat 30
  (type $t%n+1% (tuple $t%n% $t%n%))
  ;;@end
  (import "f" (func (param "x" $t30))))
