//! From what a struct says to code.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::read::{Described, DescribedField, Role};

pub(crate) fn expand(described: &Described<'_>) -> TokenStream {
    let Described { name, generics, action, .. } = described;
    let words = [
        (&described.category, "category"),
        (&described.severity, "severity"),
        (&described.outcome, "outcome"),
        (&described.description, "description"),
    ];
    let words = words.into_iter().filter_map(|(value, place)| {
        let value = value.as_ref()?;
        Some(quote! { ::trailseal::typed::set_word(&mut event, #place, #value); })
    });
    let fields = described.fields.iter().map(field);
    let (impl_generics, type_generics, conditions) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::trailseal::ToEvent for #name #type_generics #conditions {
            fn to_event(&self) -> ::trailseal::Event {
                let mut event = ::trailseal::Event::new(#action);
                #(#words)*
                #(#fields)*
                event
            }
        }

        #[automatically_derived]
        impl #impl_generics ::trailseal::IntoEvent<'static> for #name #type_generics #conditions {
            fn into_event(self) -> ::std::borrow::Cow<'static, ::trailseal::Event> {
                ::std::borrow::Cow::Owned(::trailseal::ToEvent::to_event(&self))
            }
        }
    }
}

fn field(described: &DescribedField<'_>) -> TokenStream {
    let DescribedField { field, span, role } = described;
    match role {
        Role::Skip => TokenStream::new(),
        Role::Detail(name) => quote_spanned! { *span=>
            ::trailseal::typed::set_detail(&mut event, #name, &self.#field);
        },
        // Looked at, so that nobody is told that the field is never read; its value goes nowhere.
        Role::Secret { name, is_option: true } => quote! {
            ::trailseal::typed::set_secret(&mut event, #name, self.#field.is_some());
        },
        Role::Secret { name, is_option: false } => quote! {
            let _ = &self.#field;
            ::trailseal::typed::set_secret(&mut event, #name, true);
        },
        Role::Text(place) => quote_spanned! { *span=>
            ::trailseal::typed::set_text(&mut event, #place, &self.#field);
        },
        Role::Resource(kind) => quote_spanned! { *span=>
            ::trailseal::typed::set_resource(&mut event, #kind, &self.#field);
        },
        Role::Context(name) => quote_spanned! { *span=>
            ::trailseal::typed::set_context(&mut event, #name, &self.#field);
        },
        Role::Outcome => quote_spanned! { *span=>
            ::trailseal::typed::set_outcome(&mut event, self.#field);
        },
        Role::Before => quote_spanned! { *span=>
            event.before = ::trailseal::typed::state(&self.#field);
        },
        Role::After => quote_spanned! { *span=>
            event.after = ::trailseal::typed::state(&self.#field);
        },
        Role::Duration => quote_spanned! { *span=>
            ::trailseal::typed::set_duration(&mut event, self.#field);
        },
    }
}
