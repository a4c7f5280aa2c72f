//! Help-desk JWT claims: payload, signer, verifier, token lookup, matching
