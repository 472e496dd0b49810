// Instruments that spoil one another are claimed, one at a time, for the whole process. Tracing and
// counters together give no error but a wrong trace and extra instructions; launch latency reads
// long in any process where CUPTI has been at work, even after it was switched off.
#pragma once

namespace kvroof::probe {

enum class Instrument { counters, tracing };

/// Holds an instrument; throws Unavailable while the other one (or the same one) is held.
class Claim {
 public:
  explicit Claim(Instrument instrument);
  ~Claim();
  Claim(Claim&& other) noexcept;
  Claim& operator=(Claim&&) = delete;

 private:
  bool held_ = true;
};

/// False once any instrument has been claimed: what empty launches cost is then no longer known.
bool latency_is_clean();

}  // namespace kvroof::probe
