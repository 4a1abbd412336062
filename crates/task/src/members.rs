//! [`Members`]: the tasks that an operation waits for, which come and go.

use crate::AnyTask;
use asyncio_core::{
    raw::layout::Listed,
    wait::{Awaits, Target},
};

/// Tasks in the order in which they came. Other processes can read the list.
pub(crate) struct Members {
    /// Each task with its number, in ascending order; a task that was removed leaves an empty
    /// place.
    listed: Listed<(u64, Option<AnyTask>)>,
    /// The number of tasks in the list.
    len: usize,
    /// The number of tasks ever added.
    added: u64,
}

impl Default for Members {
    fn default() -> Members {
        Members { listed: Listed::new(Vec::new()), len: 0, added: 0 }
    }
}

impl Members {
    /// Appends a task, and returns its number.
    pub(crate) fn add(&mut self, task: AnyTask) -> u64 {
        self.added += 1;
        self.len += 1;
        self.listed.push((self.added, Some(task)));
        self.added
    }

    /// Removes a task, if it is in the list.
    pub(crate) fn remove(&mut self, number: u64) -> Option<AnyTask> {
        let place = self.listed.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let task = self.listed[place].1.take()?;
        self.len -= 1;
        if self.listed.len() > 2 * self.len {
            self.listed.retain(|(_, task)| task.is_some());
        }
        Some(task)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &AnyTask> {
        self.listed.iter().filter_map(|(_, task)| task.as_ref())
    }
}

impl Awaits for Members {
    fn awaits(&self) -> Vec<Target> {
        self.iter().map(|task| Target::Task(task.task_ref().clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;

    #[test]
    fn members_stay_in_order_and_leave_no_room_behind() {
        let mut members = Members::default();
        let task = || Task::builder().failed::<()>(crate::Error::msg("never began")).any();
        let tasks: Vec<AnyTask> = (0..100).map(|_| task()).collect();
        let numbers: Vec<u64> = tasks.iter().map(|task| members.add(task.clone())).collect();
        for (place, number) in numbers.iter().enumerate().filter(|(place, _)| place % 7 != 3) {
            assert_eq!(members.remove(*number).as_ref(), Some(&tasks[place]));
            assert_eq!(members.remove(*number), None);
        }
        let left: Vec<&AnyTask> = tasks.iter().skip(3).step_by(7).collect();
        assert_eq!((members.len(), members.iter().collect::<Vec<_>>()), (left.len(), left));
        assert!(members.listed.len() <= 2 * members.len());
        assert_eq!(members.add(task()), 101);
        numbers.iter().for_each(|number| _ = members.remove(*number));
        members.remove(101);
        assert!(members.is_empty() && members.listed.is_empty());
    }
}
