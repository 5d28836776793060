//! Tenants: what decides who may read is never changed.

use super::Masker;
use crate::event::IDENTIFIER_BYTES_MAX;

/// Why a tenant cannot be used for reading or writing. It never shows the tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// It is longer than an event keeps.
    #[error("the tenant has {bytes} bytes: use at most {IDENTIFIER_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It has the form of a masking replacement, so its events would be those whose tenant was that secret.
    #[error("the tenant is a masking hash: use another name")]
    Hash,
    /// It certainly is a secret, so events would have its hash instead.
    #[error(
        "the tenant is a secret ({kind}), which no event keeps unchanged: use a name that grants no access"
    )]
    Secret {
        /// What it was taken for.
        kind: &'static str,
    },
}

impl Masker {
    /// Whether an event keeps this tenant unchanged. Checked wherever somebody is given a tenant to read or write for.
    ///
    /// # Errors
    /// When it is too long, or certainly a secret.
    pub fn check_tenant(&self, tenant: &str) -> Result<(), TenantError> {
        if tenant.len() > IDENTIFIER_BYTES_MAX {
            return Err(TenantError::TooLong { bytes: tenant.len() });
        }
        if self.key.is_hash(tenant) {
            return Err(TenantError::Hash);
        }
        if !self.enabled || cfg!(trailseal_fault = "tenant_not_checked") || !self.is_certain(tenant) {
            return Ok(());
        }
        let kind = self.found(tenant, false).first().map_or("a secret in JSON", |found| found.kind);
        Err(TenantError::Secret { kind })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mask::{MaskKey, MaskOptions};

    #[test]
    fn a_hash_is_no_tenant() {
        let options = MaskOptions { key: Some(MaskKey::new([7; 32])), ..MaskOptions::default() };
        let masker = Masker::new(&options).unwrap();
        assert_eq!(masker.check_tenant(&masker.hash("a tenant")), Err(TenantError::Hash));
        assert_eq!(masker.check_tenant("hmac:other"), Ok(()));
    }
}
