;;@repeat 10000
(component
;;@end
