//! Tests of the log: each scene runs in a process of its own, because a process has one log.

use asyncio_core::{Error, Result, context::ContextVar};
use asyncio_loop::{EventLoop, get_running_loop, new_event_loop, run};
use asyncio_task::{Task, create_task, sleep};
use std::{cell::RefCell, process::Command, sync::Mutex, thread, time::Duration};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_core::span::Current;

const SCENE: &str = "ASYNCIO_TEST_SCENE";
const MS: Duration = Duration::from_millis(1);

/// Runs a scene, and returns its standard error output.
fn play(scene: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_scene_of_its_own_process", "--nocapture"])
        .env_remove("PYTHONASYNCIODEBUG")
        .env(SCENE, scene)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "scene `{scene}` failed: {error}");
    error
}

/// The other process; in the first one it does nothing.
#[test]
fn a_scene_of_its_own_process() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    match &*scene {
        "stderr" => unclosed(),
        "tracing" => tracing(),
        "slow" => slow(),
        "debug" => debug(),
        "shutdown" => shutdown(),
        "slow end" => slow_end(),
        "unretrieved" => unretrieved(),
        "spans" => spans(true),
        "no spans" => spans(false),
        "instrumented" => instrumented(),
        other => panic!("no scene {other}"),
    }
}

fn unclosed() {
    drop(new_event_loop().unwrap());
}

#[test]
fn without_a_subscriber_the_log_is_standard_error() {
    let error = play("stderr", &[]);
    let line = "unclosed event loop <EventLoop running=false closed=false debug=false>";
    assert!(error.lines().any(|seen| seen == line), "{error}");
}

/// Keeps the events of target `asyncio`.
struct Keep;

static KEPT: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

impl Subscriber for Keep {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "asyncio"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        KEPT.lock().unwrap().push((*event.metadata().level(), message.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn keep() {
    tracing::subscriber::set_global_default(Keep).unwrap();
}

fn kept() -> Vec<(Level, String)> {
    std::mem::take(&mut KEPT.lock().unwrap())
}

fn tracing() {
    keep();
    unclosed();
    let event_loop = new_event_loop().unwrap();
    let line = line!() + 1;
    event_loop.call_soon(|| Err::<(), _>(std::io::Error::other("broken"))).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
    let kept = kept();
    assert_eq!(kept[0].0, Level::WARN);
    assert!(kept[0].1.starts_with("unclosed event loop"), "{kept:?}");
    assert_eq!(kept[1].0, Level::ERROR);
    let [message, origin, error] = &kept[1].1.lines().collect::<Vec<_>>()[..] else {
        panic!("{kept:?}")
    };
    assert_eq!(*message, "Exception in callback");
    assert!(origin.starts_with("created at: ") && origin.contains(&format!("log.rs:{line}")));
    assert_eq!(*error, "OSError: broken");
}

#[test]
fn the_log_goes_to_the_program_s_subscriber() {
    let error = play("tracing", &[]);
    assert!(!error.contains("unclosed"), "{error}");
}

fn slow() {
    keep();
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    event_loop.set_slow_callback_duration(20 * MS);
    event_loop.call_soon(|| thread::sleep(MS)).unwrap();
    let line = line!() + 1;
    event_loop.call_soon(|| thread::sleep(30 * MS)).unwrap();
    let main = async {
        thread::sleep(30 * MS);
        asyncio_task::sleep(MS).await
    };
    let main = event_loop.create_task_with(Task::builder().name("main"), main);
    event_loop.run_until_complete(main).unwrap();
    event_loop.set_debug(false);
    event_loop.call_soon(|| thread::sleep(30 * MS)).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
    let kept = kept();
    let [(callback_level, callback), (task_level, task)] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((*callback_level, *task_level), (Level::WARN, Level::WARN));
    assert!(callback.starts_with("Executing <Handle"), "{callback}");
    assert!(callback.contains(&format!("log.rs:{line}")), "{callback}");
    assert!(
        task.starts_with("Executing <Task pending name=\"main\"> waiting for sleep at "),
        "{task}"
    );
    assert!(task.contains("log.rs:") && task.contains(" created at "), "{task}");
    assert!(task.ends_with(" seconds"), "{task}");
}

#[test]
fn debug_mode_reports_steps_that_take_long() {
    play("slow", &[]);
}

fn debug() {
    let wanted = std::env::var("WANTED").unwrap() == "true";
    let event_loop = new_event_loop().unwrap();
    assert_eq!(event_loop.get_debug(), wanted);
    event_loop.close().unwrap();
    let told = EventLoop::builder().debug(!wanted).build().unwrap();
    assert_eq!(told.get_debug(), !wanted);
    told.close().unwrap();
    assert_eq!(run(async { Ok(get_running_loop()?.get_debug()) }).unwrap(), wanted);
}

#[test]
fn the_environment_switches_debug_mode_on() {
    play("debug", &[("WANTED", "false")]);
    play("debug", &[("WANTED", "false"), ("PYTHONASYNCIODEBUG", "")]);
    play("debug", &[("WANTED", "true"), ("PYTHONASYNCIODEBUG", "1")]);
}

fn shutdown() {
    keep();
    let event_loop = new_event_loop().unwrap();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let stuck = move || wait.recv().is_err();
    let stuck = event_loop.run_in_executor(None, stuck).unwrap();
    let waited: Result<()> =
        event_loop.run_until_complete(event_loop.shutdown_default_executor(100 * MS));
    waited.unwrap();
    event_loop.close().unwrap();
    drop((release, stuck));
    let warning =
        "The executor did not finishing joining its threads within 0.1 seconds.".to_owned();
    assert_eq!(kept(), [(Level::WARN, warning)]);
}

#[test]
fn an_executor_that_does_not_end_is_warned_about() {
    play("shutdown", &[]);
}

fn slow_end() {
    keep();
    let main = async {
        drop(asyncio_task::create_task(async {
            let _ = asyncio_task::sleep(MS * 60_000).await;
            asyncio_task::sleep(MS * 9_000).await
        }));
        asyncio_task::sleep(MS).await
    };
    asyncio_loop::Runner::new().virtual_time(true).with(|runner| runner.run(main)).unwrap();
    let [(Level::WARN, warning)] = &kept()[..] else { panic!("one warning") };
    assert!(warning.contains("1 cancelled task(s) have not after 5 s"), "{warning}");
    assert!(warning.contains(": sleep at ") && warning.contains("tests/log.rs:"), "{warning}");
}

#[test]
fn the_end_of_a_run_names_the_tasks_that_it_waits_for() {
    play("slow end", &[]);
}

static REQUEST: ContextVar<&str> = ContextVar::new("request");

/// The spans by their number, which begins at one.
static KNOWN: Mutex<Vec<&'static Metadata<'static>>> = Mutex::new(Vec::new());

// Those that were entered.
thread_local!(static SPANS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) });

/// Keeps each message with the span to which it belongs and the context in which it came.
struct KeepWhere;

impl Subscriber for KeepWhere {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut known = KNOWN.lock().unwrap();
        known.push(span.metadata());
        Id::from_u64(known.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        Keep.event(event);
        let span = event.parent().map(Id::into_u64);
        let place = format!("span {span:?}, request {:?}", REQUEST.get());
        KEPT.lock().unwrap().push((Level::TRACE, place));
    }
    fn enter(&self, span: &Id) {
        SPANS.with_borrow_mut(|spans| spans.push(span.into_u64()));
    }
    fn exit(&self, _: &Id) {
        SPANS.with_borrow_mut(|spans| _ = spans.pop());
    }
    fn current_span(&self) -> Current {
        let span = SPANS.with_borrow(|spans| spans.last().copied());
        let known = |id| KNOWN.lock().unwrap()[id as usize - 1];
        span.map_or(Current::none(), |id| Current::new(Id::from_u64(id), known(id)))
    }
    fn clone_span(&self, id: &Id) -> Id {
        id.clone()
    }
}

fn unretrieved() {
    tracing::subscriber::set_global_default(KeepWhere).unwrap();
    let main = async {
        let failing = tracing::info_span!("made").in_scope(|| {
            REQUEST.set("its own");
            create_task(async { Err::<(), _>(Error::runtime("broken")) })
        });
        REQUEST.set("another");
        sleep(MS).await?;
        // Here, in the span and the context of the code that drops the handle.
        tracing::info_span!("elsewhere").in_scope(|| drop(failing));
        Ok(())
    };
    run(main).unwrap();
    let kept = kept();
    let [(Level::ERROR, report), (_, place)] = &kept[..] else { panic!("{kept:?}") };
    assert!(
        report.starts_with("Task exception was never retrieved\ntask: <Task finished "),
        "{report}"
    );
    assert_eq!(place, "span Some(1), request Some(\"its own\")");
}

#[test]
fn a_failure_that_nothing_retrieves_is_logged_where_its_task_was_made() {
    play("unretrieved", &[]);
}

/// The name of the current span.
fn span_here() -> Option<&'static str> {
    tracing::Span::current().metadata().map(Metadata::name)
}

fn spans(on: bool) {
    tracing::subscriber::set_global_default(KeepWhere).unwrap();
    let main = async move {
        let carried = move |name| on.then_some(name);
        let child = async move {
            assert_eq!(span_here(), carried("request"));
            sleep(MS).await?;
            assert_eq!(span_here(), carried("request"));
            let grandchild = create_task(async { Ok(span_here()) });
            assert_eq!(grandchild.await?, carried("request"));
            let job = asyncio_task::to_thread(span_here);
            assert_eq!(job.await?, carried("request"));
            // It enters others of its own, and a task with a context is no different.
            let inner = tracing::info_span!("inner").in_scope(|| {
                let context = asyncio_core::context::Context::new();
                Task::builder().context(context).create(async { Ok(span_here()) })
            });
            assert_eq!(inner.await?, carried("inner"));
            Ok(())
        };
        let child = tracing::info_span!("request").in_scope(|| create_task(child));
        // Here it is not entered, neither while the child is suspended nor after it.
        assert_eq!(span_here(), None);
        sleep(Duration::ZERO).await?;
        assert_eq!(span_here(), None);
        child.await?;
        assert_eq!(span_here(), None);
        Ok(())
    };
    asyncio_loop::Runner::new().task_spans(on).with(|runner| runner.run(main)).unwrap();
}

#[test]
fn a_task_carries_the_span_in_which_it_was_made() {
    play("spans", &[]);
}

#[test]
fn spans_are_not_carried_where_that_is_switched_off() {
    play("no spans", &[]);
}

fn instrumented() {
    use tracing::Instrument;
    tracing::subscriber::set_global_default(KeepWhere).unwrap();
    let main = async {
        let failing = async {
            sleep(MS).await?;
            Err::<(), _>(std::io::Error::other("broken"))?;
            Ok(())
        };
        // Its steps leave the span before the loop learns of the failure.
        drop(create_task(failing.instrument(tracing::info_span!("request"))));
        sleep(2 * MS).await?;
        let event_loop = get_running_loop()?;
        event_loop.set_exception_handler(|_, _| {
            let handled = format!("handled in {:?}", span_here());
            KEPT.lock().unwrap().push((Level::INFO, handled));
        });
        let failing = tracing::info_span!("another")
            .in_scope(|| create_task(async { Err::<(), _>(Error::value("wrong")) }));
        drop(failing);
        sleep(MS).await
    };
    run(main).unwrap();
    let kept = kept();
    let [(_, report), (_, place), (_, handled)] = &kept[..] else { panic!("{kept:?}") };
    assert!(report.starts_with("Task exception was never retrieved\n"), "{report}");
    assert!(place.starts_with("span Some(1),"), "{place}");
    assert_eq!(handled, "handled in Some(\"another\")");
}

#[test]
fn a_report_is_inside_of_the_span_in_which_the_error_arose() {
    play("instrumented", &[]);
}
