(component
  (core module $m
    (func $"_Z1fPFvvEPFvS0_S0_S0_S0_S0_S0_S0_S0_EPFvS2_S2_S2_S2_S2_S2_S2_S2_EPFvS4_S4_S4_S4_S4_S4_S4_S4_EPFvS6_S6_S6_S6_S6_S6_S6_S6_EPFvS8_S8_S8_S8_S8_S8_S8_S8_EPFvSA_SA_SA_SA_SA_SA_SA_SA_EPFvSC_SC_SC_SC_SC_SC_SC_SC_EPFvSE_SE_SE_SE_SE_SE_SE_SE_EPFvSG_SG_SG_SG_SG_SG_SG_SG_EPFvSI_SI_SI_SI_SI_SI_SI_SI_EPFvSK_SK_SK_SK_SK_SK_SK_SK_EPFvSM_SM_SM_SM_SM_SM_SM_SM_EPFvSO_SO_SO_SO_SO_SO_SO_SO_EPFvSQ_SQ_SQ_SQ_SQ_SQ_SQ_SQ_EPFvSS_SS_SS_SS_SS_SS_SS_SS_EPFvSU_SU_SU_SU_SU_SU_SU_SU_E" (export "f") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))
