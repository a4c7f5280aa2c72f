//! Who may emit, broadcast, and ask who is connected
//! ([ADR 16](../../../../docs/adr/0016-tokens-have-scopes-and-what-is-not-configured-is-closed.md)).

use subtle::ConditionallySelectable as _;

use super::NodeEnv;
use super::reader::Reader;
use super::secrets::{BearerToken, bearer_token, generate, refuse_short};
use super::values::Words;
use super::variables::{
    BROADCAST_TOKEN, BROADCAST_TOKEN_PREVIOUS, EMIT_AUTH, EMIT_TOKEN, EMIT_TOKEN_PREVIOUS,
    PRESENCE_TOKEN, PRESENCE_TOKEN_PREVIOUS, Variable,
};

/// What a token of the back end is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Events for users, roles and other rooms.
    Emit,
    /// Events for everyone.
    Broadcast,
    /// Who is connected.
    Presence,
}

impl Scope {
    /// Its name, as `WWW-Authenticate` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Emit => "emit",
            Self::Broadcast => "broadcast",
            Self::Presence => "presence",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Emit => 1,
            Self::Broadcast => 1 << 1,
            Self::Presence => 1 << 2,
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// All of them.
    pub(crate) const ALL: Self =
        Self(Scope::Emit.bit() | Scope::Broadcast.bit() | Scope::Presence.bit());

    pub(crate) const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn of(scope: Scope) -> Self {
        Self(scope.bit())
    }

    const fn without(self, scope: Scope) -> Self {
        Self(self.0 & !scope.bit())
    }
}

/// A token among those that are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenId(usize);

impl TokenId {
    /// Its place among them.
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    #[cfg(test)]
    pub(crate) const fn of_index(index: usize) -> Self {
        Self(index)
    }
}

/// How a scope is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// By a token that has the scope.
    Token,
    /// By nothing but the form of the request.
    Open,
    /// Only this machine is served.
    Loopback,
    /// Nobody is served.
    Closed,
}

/// Who may use the routes of the back end.
#[derive(Clone, Debug)]
pub(crate) struct BackEndAuth {
    /// `EMIT_AUTH=open`.
    is_open: bool,
    node_env: NodeEnv,
    tokens: Vec<(BearerToken, Scopes)>,
    /// The token that was made up for this run, because none was set in development.
    ephemeral: Option<BearerToken>,
}

impl BackEndAuth {
    /// How a scope is guarded.
    pub(crate) fn guard(&self, scope: Scope) -> Guard {
        match scope {
            Scope::Emit | Scope::Broadcast if self.is_open => Guard::Open,
            _ if self.tokens.iter().any(|(_, scopes)| scopes.contains(scope)) => Guard::Token,
            Scope::Presence if self.node_env == NodeEnv::Development => Guard::Loopback,
            Scope::Emit | Scope::Broadcast | Scope::Presence => Guard::Closed,
        }
    }

    /// How many tokens are set.
    pub(crate) fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// A token, and its scopes: none for one that is wrong. Of tokens that are equal it is the last.
    /// Takes the same time wherever it differs.
    pub(crate) fn find(&self, presented: &str) -> (TokenId, Scopes) {
        let (mut known, mut found) = (Scopes::default(), 0);
        for (index, (token, scopes)) in self.tokens.iter().enumerate() {
            let is_it = token.ct_eq(presented);
            // 0 or 255, without a branch.
            let mask = is_it.unwrap_u8().wrapping_neg();
            known = Scopes(known.0 | (scopes.0 & mask));
            found.conditional_assign(&(index as u64), is_it);
        }
        // It came from there.
        (TokenId(found as usize), known)
    }

    /// The token that was generated for this run. It is printed, since no caller can know it.
    pub(crate) fn ephemeral(&self) -> Option<&BearerToken> {
        self.ephemeral.as_ref()
    }
}

/// `EMIT_AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmitAuthKind {
    Token,
    Open,
}

impl Words for EmitAuthKind {
    const WORDS: &'static [(&'static str, Self)] = &[("token", Self::Token), ("open", Self::Open)];
}

/// Reads who may use the routes of the back end.
pub(super) fn back_end_auth(
    reader: &mut Reader<'_>,
    node_env: NodeEnv,
    kind: EmitAuthKind,
) -> BackEndAuth {
    let emit = tokens(reader, node_env, &EMIT_TOKEN, &EMIT_TOKEN_PREVIOUS);
    let broadcast = tokens(
        reader,
        node_env,
        &BROADCAST_TOKEN,
        &BROADCAST_TOKEN_PREVIOUS,
    );
    let presence = tokens(reader, node_env, &PRESENCE_TOKEN, &PRESENCE_TOKEN_PREVIOUS);

    // A scope with a token of its own is not that of EMIT_TOKEN any more.
    let mut emit_scopes = Scopes::ALL;
    if reader.is_explicit(&BROADCAST_TOKEN) {
        emit_scopes = emit_scopes.without(Scope::Broadcast);
    }
    if reader.is_explicit(&PRESENCE_TOKEN) {
        emit_scopes = emit_scopes.without(Scope::Presence);
    }
    let with = |tokens: Vec<BearerToken>, scopes: Scopes| {
        tokens.into_iter().map(move |token| (token, scopes))
    };
    let mut auth = BackEndAuth {
        is_open: kind == EmitAuthKind::Open,
        node_env,
        tokens: with(emit, emit_scopes)
            .chain(with(broadcast, Scopes::of(Scope::Broadcast)))
            .chain(with(presence, Scopes::of(Scope::Presence)))
            .collect(),
        ephemeral: None,
    };

    match kind {
        EmitAuthKind::Open => {
            reader.insecure(
                &EMIT_AUTH,
                "is open: everybody who reaches the port can send notifications to every user; \
                 set EMIT_AUTH=token and an EMIT_TOKEN",
            );
            for variable in [&EMIT_TOKEN, &BROADCAST_TOKEN] {
                if reader.is_explicit(variable) {
                    reader.warn(
                        variable,
                        "is not asked for by the emit routes, because EMIT_AUTH is open",
                    );
                }
            }
            if auth.guard(Scope::Presence) == Guard::Loopback {
                reader.insecure(
                    &PRESENCE_TOKEN,
                    "is not set: who is connected is answered without a token, on loopback \
                     addresses only; set one: openssl rand -hex 32",
                );
            }
        }
        EmitAuthKind::Token if reader.is_explicit(&EMIT_TOKEN) => {}
        EmitAuthKind::Token if node_env == NodeEnv::Production => reader.warn(
            &EMIT_TOKEN,
            "is not set: the emit routes are closed (404, emit_closed), and this instance gets \
             notifications only through REDIS_URL; to open the routes set the token here and in \
             help-desk-back: openssl rand -hex 32",
        ),
        EmitAuthKind::Token => {
            reader.warn(
                &EMIT_TOKEN,
                "is not set: this run uses one of its own; set it here and in help-desk-back",
            );
            if let Some(generated) = generate(reader, &EMIT_TOKEN) {
                let token = BearerToken::new(generated);
                auth.tokens.push((token.clone(), emit_scopes));
                auth.ephemeral = Some(token);
            }
        }
    }
    auth
}

/// The token in use, and the one before the last rotation.
fn tokens(
    reader: &mut Reader<'_>,
    node_env: NodeEnv,
    current: &'static Variable,
    previous: &'static Variable,
) -> Vec<BearerToken> {
    let mut tokens = Vec::new();
    for variable in [current, previous] {
        let token = bearer_token(reader, variable);
        let fix = "set a longer one in both services: openssl rand -hex 32";
        refuse_short(reader, node_env, variable, token.as_ref(), fix);
        tokens.extend(token);
    }
    if reader.is_explicit(previous) && !reader.is_explicit(current) {
        reader.problem(
            previous,
            format!("is set without {}", current.name),
            format!("set {} to the token in use", current.name),
        );
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(tokens: &[(&str, Scopes)], is_open: bool, node_env: NodeEnv) -> BackEndAuth {
        BackEndAuth {
            is_open,
            node_env,
            tokens: tokens
                .iter()
                .map(|(token, scopes)| (BearerToken::new(*token), *scopes))
                .collect(),
            ephemeral: None,
        }
    }

    #[test]
    fn both_tokens_are_accepted_during_a_rotation() {
        let tokens = [
            ("current-token", Scopes::ALL),
            ("previous-token", Scopes::ALL),
        ];
        let rotating = auth(&tokens, false, NodeEnv::Production);
        assert_eq!(rotating.find("current-token").1, Scopes::ALL);
        assert_eq!(rotating.find("previous-token").1, Scopes::ALL);
        for wrong in ["current-toke", "current-token ", ""] {
            assert!(rotating.find(wrong).1.is_empty(), "{wrong:?}");
        }
        let rotated = auth(&tokens[..1], false, NodeEnv::Production);
        assert!(rotated.find("previous-token").1.is_empty());
    }

    #[test]
    fn tokens_are_told_apart_unless_they_are_equal() {
        let tokens = ["one", "two", "one"].map(|token| (token, Scopes::ALL));
        let auth = auth(&tokens, false, NodeEnv::Production);
        assert_eq!(auth.find("one").0, auth.find("one").0);
        assert_ne!(auth.find("one").0, auth.find("two").0);
        for token in ["one", "two"] {
            assert!(auth.find(token).0.index() < auth.token_count(), "{token}");
        }
    }

    #[test]
    fn a_token_has_its_own_scopes_and_those_of_its_equals() {
        let emit = Scopes::ALL.without(Scope::Presence);
        let presence = Scopes::of(Scope::Presence);
        let auth = auth(
            &[
                ("emit-token", emit),
                ("presence-token", presence),
                ("emit-token", presence),
            ],
            false,
            NodeEnv::Production,
        );
        assert_eq!(auth.find("presence-token").1, presence);
        assert_eq!(auth.find("emit-token").1, Scopes::ALL);
    }

    #[test]
    fn what_has_no_token_is_closed_unless_it_was_opened() {
        use NodeEnv::{Development, Production};
        let guards = |auth: &BackEndAuth| {
            [Scope::Emit, Scope::Broadcast, Scope::Presence].map(|scope| auth.guard(scope))
        };
        let closed = auth(&[], false, Production);
        assert_eq!(guards(&closed), [Guard::Closed; 3]);
        let open = auth(&[], true, Production);
        assert_eq!(guards(&open), [Guard::Open, Guard::Open, Guard::Closed]);
        let open = auth(&[], true, Development);
        assert_eq!(guards(&open), [Guard::Open, Guard::Open, Guard::Loopback]);
        let tokens = [("emit-token", Scopes::ALL)];
        let token = auth(&tokens, false, Development);
        assert_eq!(guards(&token), [Guard::Token; 3]);
        let open = auth(&tokens, true, Production);
        assert_eq!(guards(&open), [Guard::Open, Guard::Open, Guard::Token]);
    }
}
