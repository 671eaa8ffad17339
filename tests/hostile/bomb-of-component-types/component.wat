(component
  (type $t0 (tuple u8 u8))
  ;;@repeat 100000
  (type $t%n+1% (tuple $t%n% $t%n%))
  ;;@end
)
