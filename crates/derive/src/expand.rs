//! From what a struct says to code.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::read::{Described, DescribedField, Role};

pub(crate) fn expand(described: &Described<'_>) -> TokenStream {
    let Described { name, generics, action, .. } = described;
    let facade = described.facade.as_ref().map_or_else(|| quote!(::trailseal), |path| quote!(#path));
    let words = [
        (&described.category, "category"),
        (&described.severity, "severity"),
        (&described.outcome, "outcome"),
        (&described.description, "description"),
    ];
    let words = words.into_iter().filter_map(|(value, place)| {
        let value = value.as_ref()?;
        Some(quote! { #facade::typed::set_word(&mut event, #place, #value); })
    });
    let fields = described.fields.iter().map(|described| field(described, &facade));
    let (impl_generics, type_generics, conditions) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #facade::ToEvent for #name #type_generics #conditions {
            fn to_event(&self) -> #facade::Event {
                let mut event = #facade::Event::new(#action);
                #(#words)*
                #(#fields)*
                event
            }
        }

        #[automatically_derived]
        impl #impl_generics #facade::IntoEvent<'static> for #name #type_generics #conditions {
            fn into_event(self) -> ::std::borrow::Cow<'static, #facade::Event> {
                ::std::borrow::Cow::Owned(#facade::ToEvent::to_event(&self))
            }
        }
    }
}

fn field(described: &DescribedField<'_>, facade: &TokenStream) -> TokenStream {
    let DescribedField { field, span, role } = described;
    match role {
        Role::Skip => TokenStream::new(),
        Role::Detail(name) => quote_spanned! { *span=>
            #facade::typed::set_detail(&mut event, #name, &self.#field);
        },
        // Looked at, so that nobody is told that the field is never read; its value goes nowhere.
        Role::Secret { name, is_option: true } => quote! {
            #facade::typed::set_secret(&mut event, #name, self.#field.is_some());
        },
        Role::Secret { name, is_option: false } => quote! {
            let _ = &self.#field;
            #facade::typed::set_secret(&mut event, #name, true);
        },
        Role::Text(place) => quote_spanned! { *span=>
            #facade::typed::set_text(&mut event, #place, &self.#field);
        },
        Role::Resource(kind) => quote_spanned! { *span=>
            #facade::typed::set_resource(&mut event, #kind, &self.#field);
        },
        Role::Context(name) => quote_spanned! { *span=>
            #facade::typed::set_context(&mut event, #name, &self.#field);
        },
        Role::Outcome => quote_spanned! { *span=>
            #facade::typed::set_outcome(&mut event, self.#field);
        },
        Role::Before => quote_spanned! { *span=>
            event.before = #facade::typed::state(&self.#field);
        },
        Role::After => quote_spanned! { *span=>
            event.after = #facade::typed::state(&self.#field);
        },
        Role::Duration => quote_spanned! { *span=>
            #facade::typed::set_duration(&mut event, self.#field);
        },
    }
}
