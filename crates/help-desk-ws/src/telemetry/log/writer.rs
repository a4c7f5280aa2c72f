//! The thread that writes the log.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::Log;
use super::line::LogLine;
use super::queue::{Entry, More};

/// Writes lines, and the summaries of those that were suppressed, until the log is closed and
/// nothing waits any more. Only this thread waits for whoever reads the output.
pub(super) fn run(log: &Log, mut output: impl Write) {
    let mut batch = Vec::new();
    let mut text = String::new();
    // Lines that were taken from the queue, and that the output did not take.
    let mut unwritten = 0;
    loop {
        let deadline = log.sampler().poll_timeout();
        let more = log.queue.take(deadline, &mut batch);
        text.clear();
        let mut lines = 0;
        for entry in batch.drain(..) {
            match entry {
                Entry::Line(line) => {
                    text.push_str(&line);
                    lines += 1;
                }
                Entry::Dropped(dropped) => {
                    text.push_str(&LogLine::of_dropped(dropped).render(log.format));
                }
            }
        }
        while let Some(summary) = log.summary(Instant::now(), more) {
            text.push_str(&LogLine::of_summary(summary).render(log.format));
            lines += 1;
        }
        if unwritten > 0 && lines > 0 {
            text.insert_str(0, &LogLine::of_dropped(unwritten).render(log.format));
        }
        if !text.is_empty() {
            // There is nowhere to tell the error: stdout is what fails.
            if write(&mut output, text.as_bytes()).is_ok() {
                unwritten = 0;
            } else {
                unwritten += lines;
                log.counts.dropped.add(lines);
            }
        }
        if more == More::No {
            break;
        }
    }
    log.queue.end();
}

fn write(output: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match output.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => text = &text[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever shares the pipe or the terminal may have made it non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

const RETRY_DELAY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;
    use crate::settings::LogFormat;
    use crate::telemetry::LogCounts;

    /// Takes what the results say, and then everything.
    #[derive(Clone, Default)]
    struct Output {
        text: Arc<Mutex<Vec<u8>>>,
        results: Arc<Mutex<Vec<io::Result<usize>>>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            let result = if results.is_empty() {
                Ok(bytes.len())
            } else {
                results.remove(0)
            };
            let count = result?.min(bytes.len());
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_takes_little_gets_everything() {
        let output = Output::default();
        *output.results.lock().unwrap() = vec![
            Ok(2),
            Err(io::ErrorKind::Interrupted.into()),
            Err(io::ErrorKind::WouldBlock.into()),
            Ok(1),
        ];
        write(&mut output.clone(), b"a line\n").unwrap();
        assert_eq!(*output.text.lock().unwrap(), b"a line\n");
    }

    #[test]
    fn lines_that_the_output_refuses_are_counted_and_told_of_with_the_next() {
        let counts = Arc::new(LogCounts::default());
        let log = Arc::new(Log::new(LogFormat::Text, 10, Arc::clone(&counts)));
        let output = Output::default();
        *output.results.lock().unwrap() = vec![Err(io::ErrorKind::StorageFull.into())];
        let writer = {
            let (log, output) = (Arc::clone(&log), output.clone());
            thread::spawn(move || run(&log, output))
        };
        log.queue("first\n".to_owned());
        while counts.dropped.get() == 0 {
            thread::yield_now();
        }
        log.queue("second\n".to_owned());
        log.queue.close(Duration::from_secs(60));
        writer.join().unwrap();
        assert_eq!(counts.dropped.get(), 1);
        let text = String::from_utf8(output.text.lock().unwrap().clone()).unwrap();
        let (note, rest) = text.split_once('\n').unwrap();
        assert!(
            note.ends_with("WARN  [Log] 1 log lines were dropped: stdout was not read in time"),
            "{note}"
        );
        assert_eq!(rest, "second\n");
    }
}
