#include "journal/task_journal.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using std::chrono::seconds;
using test::make_signer;
using test::texts_of;
using Texts = std::vector<std::string>;

Message message(const std::string& content, const std::vector<std::string>& buffers = {}) {
  static const Signer signer = make_signer();
  return *Message::split(test::wire_frames({.content = content, .buffers = buffers}, signer));
}

struct JournalBench : testing::Test {
  JournalBench() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    dir = std::filesystem::temp_directory_path() /
          ("ipf_journal_" + std::string(info->name()) + std::to_string(getpid()));
    std::filesystem::create_directories(dir);
  }
  ~JournalBench() override { std::filesystem::remove_all(dir); }

  TaskJournal create(const JournalContents& contents = {},
                     const TaskJournal::Options& options = {}) const {
    auto journal = TaskJournal::create(path(), options, contents);
    EXPECT_TRUE(journal) << journal.error().message;
    return std::move(*journal);
  }
  [[nodiscard]] std::filesystem::path path() const { return dir / "tasks.journal"; }
  [[nodiscard]] JournalContents contents() const {
    auto known = TaskJournal::read(path());
    EXPECT_TRUE(known);
    return known ? *known : JournalContents{};
  }
  [[nodiscard]] std::vector<JournaledTask> read() const { return contents().tasks; }

  /// Much to write, which need not stay.
  static void grow(TaskJournal& journal) {
    journal.submitted("large", message("x"));
    journal.answered("large", "e", message(std::string(100'000, 'x')), false);
  }
  /// The file is begun anew, and the last one is gone.
  void begin_anew(TaskJournal& journal) {
    grow(journal);
    EXPECT_TRUE(journal.flush(now));
    std::filesystem::remove(path().string() + ".old");
    EXPECT_LT(std::filesystem::file_size(path()), 50'000U);
  }

  std::filesystem::path dir;
  TimePoint now{1'000'000'000'000};
};

TEST_F(JournalBench, WhatWasFlushedIsReadBack) {
  TaskJournal journal = create();
  journal.submitted("a", message("A", {"buffer", std::string(100'000, 'x')}));
  journal.submitted("b", message("B"));
  journal.submitted("c", message("C"));
  journal.assigned("a", "engine");
  journal.assigned("b", "other");
  journal.answered("b", "other", message("reply"), false);
  ASSERT_TRUE(journal.flush(now));
  const auto tasks = read();
  ASSERT_EQ(tasks.size(), 3U);
  EXPECT_EQ(tasks[0].msg_id, "a");
  EXPECT_EQ(texts_of(tasks[0].request->frames()),
            texts_of(message("A", {"buffer", std::string(100'000, 'x')}).frames()));
  EXPECT_EQ(tasks[0].engine_uuid, "engine");
  EXPECT_FALSE(tasks[0].reply);
  EXPECT_EQ(tasks[1].reply->content(), "reply");
  EXPECT_EQ(tasks[2].engine_uuid, "");
}

/// A task that the scheduler failed because of its engine ended on no engine, for those who depend
/// on it.
TEST_F(JournalBench, ItKnowsWhoAnswered) {
  TaskJournal journal = create();
  for (const auto* msg_id : {"ran", "timed out"}) {
    journal.submitted(msg_id, message("x"));
    journal.assigned(msg_id, "e");
    journal.answered(msg_id, "e", message("reply"), std::string_view(msg_id) == "timed out");
  }
  ASSERT_TRUE(journal.flush(now));
  const TaskJournal next = create(contents());
  const auto tasks = read();
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_FALSE(tasks[0].made_here);
  EXPECT_TRUE(tasks[1].made_here);
  EXPECT_EQ(tasks[1].engine_uuid, "e");
}

TEST_F(JournalBench, WhatWasNotFlushedIsNot) {
  TaskJournal journal = create();
  journal.submitted("a", message("A"));
  EXPECT_TRUE(read().empty());
}

TEST_F(JournalBench, ARecordThatIsCutOffEndsTheFile) {
  std::uintmax_t first = 0;
  {
    TaskJournal journal = create();
    journal.submitted("a", message("A"));
    ASSERT_TRUE(journal.flush(now));
    first = std::filesystem::file_size(path());
    journal.submitted("b", message("B"));
    ASSERT_TRUE(journal.flush(now));
  }
  const auto size = std::filesystem::file_size(path());
  for (std::size_t cut = 1; cut < size - first; ++cut) {
    std::filesystem::resize_file(path(), size - cut);
    const auto tasks = read();
    ASSERT_EQ(tasks.size(), 1U) << cut;
    EXPECT_EQ(tasks[0].msg_id, "a");
  }
}

TEST_F(JournalBench, AnythingElseIsNoJournal) {
  std::ofstream(path()) << "SQLite format 3";
  EXPECT_FALSE(TaskJournal::read(path()));
}

TEST_F(JournalBench, NoFileIsNoTask) {
  EXPECT_TRUE(read().empty());
}

TEST_F(JournalBench, OnlyTheOwnerMayRead) {
  create();
  struct stat status{};
  ASSERT_EQ(stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(JournalBench, TheNextControllersJournalBeginsWithWhatTheLastOneKnew) {
  {
    TaskJournal journal = create();
    journal.submitted("open", message("1"));
    journal.assigned("open", "e");
    journal.submitted("done", message("2"));
    journal.answered("done", "e", message("reply"), false);
    ASSERT_TRUE(journal.flush(now));
  }
  TaskJournal journal = create(contents());
  EXPECT_EQ(journal.open_count(), 1U);
  const auto tasks = read();
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0].engine_uuid, "e");
  EXPECT_EQ(tasks[1].reply->content(), "reply");
}

TEST_F(JournalBench, TheFileIsBegunAnewAndOpenTasksStay) {
  TaskJournal journal = create({}, {.rotate_bytes = 10'000, .settle_time = seconds(3)});
  journal.submitted("open", message("1"));
  journal.assigned("open", "e");
  for (int i = 0; i < 2000; ++i) {
    const std::string msg_id = "t" + std::to_string(i);
    journal.submitted(msg_id, message("x"));
    journal.answered(msg_id, "e", message("y"), false);
    now = now + std::chrono::milliseconds(10);
    ASSERT_TRUE(journal.flush(now));
  }
  EXPECT_LT(std::filesystem::file_size(path()), 500'000U);
  const auto tasks = read();
  ASSERT_FALSE(tasks.empty());
  EXPECT_EQ(tasks[0].msg_id, "open");
  EXPECT_EQ(tasks[0].engine_uuid, "e");
  // Three seconds are 300 tasks; at least those are still there.
  EXPECT_GE(tasks.size(), 301U);
  EXPECT_LT(tasks.size(), 1000U);
  EXPECT_EQ(tasks.back().msg_id, "t1999");
}

TEST_F(JournalBench, ATaskThatWaitsAgainIsNobodysAndKeepsWhatItHasBehindIt) {
  TaskJournal journal = create({}, {.rotate_bytes = 1, .settle_time = seconds(0)});
  const TaskProgress progress{
      .retries_left = 2, .excluded = {1, 2}, .stale = {3}, .killed = {"dead", "dead too"}};
  for (const char* msg_id : {"a", "b"}) {
    journal.submitted(msg_id, message("x"));
    journal.assigned(msg_id, "dead");
    journal.returned(msg_id, progress);
  }
  journal.assigned("b", "other");
  for (int round = 0; round < 2; ++round) {  // appended; begun anew
    ASSERT_TRUE(journal.flush(now));
    const auto tasks = read();
    ASSERT_EQ(tasks.size(), 2U);
    EXPECT_EQ(tasks[0].engine_uuid, "");
    EXPECT_EQ(tasks[1].engine_uuid, "other");
    ASSERT_TRUE(tasks[0].progress && tasks[1].progress);
    EXPECT_EQ(tasks[0].progress->retries_left, 2);
    EXPECT_EQ(tasks[0].progress->excluded, progress.excluded);
    EXPECT_EQ(tasks[0].progress->stale, progress.stale);
    EXPECT_EQ(tasks[0].progress->killed, progress.killed);
    begin_anew(journal);
  }
}

/// The last file may say that an engine has a task; the new one, that it waits again.
TEST_F(JournalBench, TheNewFileIsRightWhereTheOldOneSaysOtherwise) {
  TaskJournal journal = create({}, {.rotate_bytes = 1, .settle_time = seconds(1)});
  journal.submitted("a", message("x"));
  journal.assigned("a", "dead");
  ASSERT_TRUE(journal.flush(TimePoint{}));
  journal.returned("a", {});
  grow(journal);
  ASSERT_TRUE(journal.flush(now));
  ASSERT_TRUE(std::filesystem::exists(path().string() + ".old"));
  EXPECT_EQ(read().at(0).engine_uuid, "");
}

TEST_F(JournalBench, SeedAndOutcomesStayWhenTheFileIsBegunAnew) {
  const std::vector<RememberedOutcome> outcomes{{.task = 7, .engine_and_outcome = 9},
                                                {.task = 8, .engine_and_outcome = 4}};
  TaskJournal journal = create({.seed = 42, .outcomes = {}, .tasks = {}},
                               {.rotate_bytes = 1, .settle_time = seconds(0)});
  EXPECT_EQ(contents().seed, 42U);
  journal.remember_by([&] { return outcomes; });
  journal.submitted("a", message("x"));
  begin_anew(journal);
  const auto known = contents();
  EXPECT_EQ(known.seed, 42U);
  ASSERT_EQ(known.outcomes.size(), 2U);
  EXPECT_EQ(known.outcomes[1].task, 8U);
  EXPECT_EQ(known.outcomes[1].engine_and_outcome, 4U);
  create(known);
  EXPECT_EQ(contents().outcomes.size(), 2U);
}

TEST_F(JournalBench, TheOrderOfHandingOverIsKept) {
  TaskJournal journal = create({}, {.rotate_bytes = 1, .settle_time = seconds(0)});
  for (const char* msg_id : {"a", "b", "c"}) {
    journal.submitted(msg_id, message("x"));
  }
  for (const char* msg_id : {"c", "a", "b"}) {
    journal.assigned(msg_id, "e");
  }
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(journal.flush(now));
    const auto tasks = read();
    ASSERT_EQ(tasks.size(), 3U);
    EXPECT_LT(tasks[2].handed_over, tasks[0].handed_over);
    EXPECT_LT(tasks[0].handed_over, tasks[1].handed_over);
    begin_anew(journal);
  }
}

/// As ipyfleet's first journals were.
TEST_F(JournalBench, AJournalOfVersion1CanStillBeRead) {
  {
    TaskJournal journal = create();
    journal.submitted("a", message("x"));
    journal.assigned("a", "e");
    ASSERT_TRUE(journal.flush(now));
  }
  std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(22);
  file.put('1');
  file.close();
  EXPECT_EQ(read().at(0).engine_uuid, "e");
  std::fstream(path(), std::ios::in | std::ios::out | std::ios::binary).seekp(22).put('9');
  const auto newer = TaskJournal::read(path());
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().message.find(path().string()), std::string::npos);
}

TEST_F(JournalBench, AFullDiskIsToldOnceAndTheJournalRecovers) {
  TaskJournal journal = create({}, {.retry_time = seconds(10)});
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 2000, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  journal.submitted("open", message(std::string(5000, 'x')));
  EXPECT_FALSE(journal.flush(now));
  journal.submitted("late", message("x"));
  EXPECT_TRUE(journal.flush(now + seconds(1))) << "told once only";
  EXPECT_TRUE(journal.flush(now + seconds(11))) << "tried again in vain";
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(journal.flush(now + seconds(22)));
  std::signal(SIGXFSZ, ignored);
  const auto tasks = read();
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[1].msg_id, "late");
}

}  // namespace
}  // namespace ipf
