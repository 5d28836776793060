//! `#[derive(AuditEvent)]`: a struct that says of itself what event it is. See the crate `trailseal`, which gives it out.

mod expand;
mod read;

/// Makes a struct an event, which [`Trail::record`] takes by value or by reference.
///
/// On the struct: `#[audit(action = "…")]`, which must be there, and `category`, `severity`, `outcome`, `description`. If the crate
/// `trailseal` has another name where the struct is, `crate = "…"` says which, such as `crate = "platform::trailseal"`.
///
/// On a field, one of:
///
/// | `#[audit(…)]` | the field is |
/// | --- | --- |
/// | nothing | a detail of its name, as serde writes it |
/// | `rename = "…"` | a detail of that name |
/// | `actor`, `actor_name`, `tenant`, `id`, `description` | that text |
/// | `error` | why it failed; the outcome is then `failure`, unless the struct or another field names one |
/// | `resource = "TYPE"` | the id of a resource of that type |
/// | `resource_name` | its name |
/// | `context = "…"` | that field of the context, such as `ip` |
/// | `outcome` | the outcome: an `Outcome`, or an `Option` of one |
/// | `before`, `after` | the state before, or after |
/// | `duration` | how long it took: a `Duration` |
/// | `secret` | a detail recorded as `***`; its value never reaches the trail, so `masked` does not list it |
/// | `skip` | not recorded |
///
/// Except `outcome`, `duration` and `secret`, a field may have any type that serde can serialise, so also a number or an
/// `Option`. A number in the place of a text becomes its digits. `None` leaves the place empty; a detail that is `None` is
/// recorded as `null`, and a secret that is `None` is not recorded.
///
/// ```
/// # use trailseal::{AuditEvent, Trail};
/// #[derive(AuditEvent)]
/// #[audit(action = "invoice.approve", outcome = "success")]
/// struct InvoiceApproved<'a> {
///     #[audit(resource = "invoice")]
///     invoice: &'a str,
///     #[audit(actor)]
///     by: &'a str,
///     amount: u64,
/// }
///
/// Trail::temporary()?.record(InvoiceApproved { invoice: "42", by: "u1", amount: 7 })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// For anything else, such as `actor_kind`, `actor_email`, `on_behalf_of` and `related`, make the event and use its
/// setters:
///
/// ```
/// # use trailseal::{AuditEvent, Trail};
/// use trailseal::ToEvent;
/// # #[derive(AuditEvent)]
/// # #[audit(action = "invoice.approve")]
/// # struct InvoiceApproved { amount: u64 }
///
/// let approved = InvoiceApproved { amount: 7 };
/// let event = approved.to_event().actor_kind("service").on_behalf_of("u2", "on leave");
/// assert_eq!(event.on_behalf_of.as_ref().and_then(|other| other.id.as_deref()), Some("u2"));
/// Trail::temporary()?.record(event)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A wrong field does not compile:
///
/// ```compile_fail
/// # use trailseal::AuditEvent;
/// #[derive(AuditEvent)]
/// #[audit(action = "invoice.approve")]
/// struct InvoiceApproved {
///     #[audit(acter)]
///     by: String,
/// }
/// ```
///
/// Nor does a detail that serde cannot write, or a struct without an action:
///
/// ```compile_fail
/// # use trailseal::AuditEvent;
/// #[derive(AuditEvent)]
/// #[audit(action = "invoice.approve")]
/// struct InvoiceApproved {
///     by: std::sync::Mutex<std::thread::Thread>,
/// }
/// ```
///
/// ```compile_fail
/// # use trailseal::AuditEvent;
/// #[derive(AuditEvent)]
/// struct InvoiceApproved {
///     by: String,
/// }
/// ```
///
/// [`Trail::record`]: https://docs.rs/trailseal/latest/trailseal/struct.Trail.html#method.record
#[proc_macro_derive(AuditEvent, attributes(audit))]
pub fn derive_audit_event(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    let expanded = read::read(&input).map(|event| expand::expand(&event));
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
