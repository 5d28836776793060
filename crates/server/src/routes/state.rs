//! What handlers may ask for: each names the parts that it uses, and gets no others.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;
use trailseal_core::Trail;

use super::layers::Observer;
use crate::access::{Gate, Tokens};
use crate::body::Bodies;
use crate::config::{Config, HealthLimits};
use crate::fairness::{Places, Rates};
use crate::health::DurableWatch;
use crate::metrics::Metrics;
use crate::pages::Protection;
use crate::policies::PolicyKeeper;
use crate::read::{Exports, Reading, Streaming, Tiles};
use crate::record::Recorder;
use crate::response_work::Patience;
use crate::retention::{HoldKeeper, Retention};
use crate::reviews::Reviews;
use crate::searches::Searches;
use crate::shared::SharedStore;
use crate::stopping::Stopping;
use crate::view::View;

/// All parts of a server.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// Each part goes to the handlers that ask for its type.
macro_rules! parts {
    ($($name:ident: $part:ty,)*) => {
        pub(crate) struct Parts {
            $(pub(crate) $name: $part,)*
        }

        $(impl FromRef<App> for $part {
            fn from_ref(app: &App) -> $part {
                app.$name.clone()
            }
        })*
    };
}

parts! {
    trail: Trail,
    config: Arc<Config>,
    shared: Option<Arc<SharedStore>>,
    stopping: Stopping,
    metrics: Arc<Metrics>,
    observer: Arc<Observer>,
    gate: Arc<Gate>,
    tokens: Arc<Tokens>,
    places: Arc<Places>,
    bodies: Arc<Bodies>,
    recorder: Arc<Recorder>,
    reading: Arc<Reading>,
    view: Arc<View>,
    exports: Exports,
    streaming: Arc<Streaming>,
    tiles: Arc<Tiles>,
    retention: Arc<Retention>,
    holds: Arc<HoldKeeper>,
    reviews: Arc<Reviews>,
    policies: Arc<PolicyKeeper>,
    durable_watch: Arc<DurableWatch>,
    health_limits: HealthLimits,
    protection: Arc<Protection>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// `dir` is the folder that is searched: the trail's, or that of all slots. With a shared store, that is.
    pub(crate) fn new(
        trail: Trail,
        dir: PathBuf,
        config: Config,
        shared: Option<Arc<SharedStore>>,
        tokens: Tokens,
        stopping: Stopping,
    ) -> App {
        let (config, tokens, metrics) = (Arc::new(config), Arc::new(tokens), Arc::<Metrics>::default());
        let (places, bodies) = (Arc::new(Places::new(&config)), Arc::new(Bodies::new(&config)));
        let patience = Arc::new(Patience::new(config.search_timeout, metrics.clone()));
        let searches = Arc::new(Searches::new(trail.clone(), dir, &config, patience.clone()));
        let view = Arc::new(View::new(trail.clone(), searches.clone(), patience, &config));
        let reading =
            Arc::new(Reading { trail: trail.clone(), searches: searches.clone(), view: view.clone() });
        let policies = Arc::new(PolicyKeeper::new(trail.clone(), shared.clone()));
        let holds = Arc::new(HoldKeeper::new(trail.clone(), shared.clone()));
        let recorder = Recorder::new(trail.clone(), bodies.clone(), metrics.clone(), &config);
        App(Arc::new(Parts {
            observer: Arc::new(Observer {
                config: config.clone(),
                metrics: metrics.clone(),
                rates: Rates::default(),
            }),
            gate: Arc::new(Gate { tokens: tokens.clone(), config: config.clone(), metrics: metrics.clone() }),
            recorder: Arc::new(recorder),
            streaming: Arc::new(Streaming {
                reading: reading.clone(),
                tokens: tokens.clone(),
                places: places.clone(),
                stopping: stopping.clone(),
            }),
            tiles: Arc::new(Tiles::new(reading.clone(), config.public_tiles)),
            retention: Arc::new(Retention::new(trail.clone(), config.retention.clone(), holds.clone())),
            holds,
            reviews: Arc::new(Reviews::new(
                trail.clone(),
                searches,
                view.clone(),
                config.second_person,
                policies.clone(),
                shared.clone(),
            )),
            policies,
            exports: Exports::default(),
            durable_watch: Arc::default(),
            health_limits: config.health,
            protection: Arc::new(Protection::new(&config)),
            trail,
            config,
            shared,
            stopping,
            metrics,
            tokens,
            places,
            bodies,
            reading,
            view,
        }))
    }
}
