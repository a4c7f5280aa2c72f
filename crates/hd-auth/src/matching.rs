use crate::payload::{JwtPayload, UserId};

/// Says whether a payload falls under given users, roles, departments, regional offices, positions
/// and profiles.
///
/// Each call of a criterion adds one value that it accepts. A payload matches when **every**
/// criterion that was given accepts it, so values of one criterion are alternatives and criteria
/// are conditions. A filter without any criterion matches nobody: an audience that was forgotten
/// must not become everybody.
///
/// ```
/// use hd_auth::{ClaimsFilter, JwtPayload, UserId};
///
/// let mut agent = JwtPayload::new(UserId::new(42)?);
/// agent.rol_id = Some(2);
/// agent.reg_id = Some(5);
///
/// // Roles 2 or 3, in the regional office 5.
/// let filter = ClaimsFilter::new().rol_id(2).rol_id(3).reg_id(5);
/// assert!(filter.matches(&agent));
///
/// agent.reg_id = Some(9);
/// assert!(!filter.matches(&agent));
/// agent.es_nacional = true; // sees every regional office
/// assert!(filter.matches(&agent));
/// # Ok::<(), hd_auth::InvalidUserId>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsFilter {
    user_ids: Vec<UserId>,
    rol_ids: Vec<i64>,
    reg_ids: Vec<i64>,
    car_ids: Vec<i64>,
    dp_ids: Vec<i64>,
    perfil_ids: Vec<i64>,
}

impl ClaimsFilter {
    /// A filter without criteria, which matches nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts the user `usu_id`.
    #[must_use]
    pub fn usu_id(mut self, usu_id: UserId) -> Self {
        self.user_ids.push(usu_id);
        self
    }

    /// Accepts the role `rol_id`.
    #[must_use]
    pub fn rol_id(mut self, rol_id: i64) -> Self {
        self.rol_ids.push(rol_id);
        self
    }

    /// Accepts whoever sees the regional office `reg_id`: its own people, and those with national
    /// scope.
    #[must_use]
    pub fn reg_id(mut self, reg_id: i64) -> Self {
        self.reg_ids.push(reg_id);
        self
    }

    /// Accepts the position `car_id`.
    #[must_use]
    pub fn car_id(mut self, car_id: i64) -> Self {
        self.car_ids.push(car_id);
        self
    }

    /// Accepts the department `dp_id`.
    #[must_use]
    pub fn dp_id(mut self, dp_id: i64) -> Self {
        self.dp_ids.push(dp_id);
        self
    }

    /// Accepts whoever has `perfil_id` among their extra active profiles.
    #[must_use]
    pub fn perfil_id(mut self, perfil_id: i64) -> Self {
        self.perfil_ids.push(perfil_id);
        self
    }

    /// Whether there is no criterion.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.user_ids.is_empty()
            && [
                &self.rol_ids,
                &self.reg_ids,
                &self.car_ids,
                &self.dp_ids,
                &self.perfil_ids,
            ]
            .into_iter()
            .all(Vec::is_empty)
    }

    /// Whether every criterion accepts the payload.
    #[must_use]
    pub fn matches(&self, payload: &JwtPayload) -> bool {
        let profiles = payload.perfil_ids.as_deref().unwrap_or_default();
        !self.is_empty()
            && accepts(&self.user_ids, |id| *id == payload.usu_id)
            && accepts(&self.rol_ids, |id| payload.rol_id == Some(*id))
            && accepts(&self.reg_ids, |id| payload.sees_regional_office(*id))
            && accepts(&self.car_ids, |id| payload.car_id == Some(*id))
            && accepts(&self.dp_ids, |id| payload.dp_id == Some(*id))
            && accepts(&self.perfil_ids, |id| profiles.contains(id))
    }
}

/// A criterion that was not given accepts everything.
fn accepts<T>(accepted: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    accepted.is_empty() || accepted.iter().any(holds)
}
