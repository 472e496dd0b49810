// Where profiles and networks are looked up by id: --profile-path, $KVROOF_PATH, the user's data
// folder, beside the program, the source tree it was built from.
#pragma once
#include <string>
#include <vector>

#include "model/hf_config.hpp"

namespace kvroof {

/// Roots in order; each holds hw_profiles/ and scenarios/llms/. `extra` comes from --profile-path.
std::vector<std::string> search_roots(const std::vector<std::string>& extra = {});

/// Whether a name is a path rather than an id:
/// it has a slash with a file behind it, or an extension.
bool looks_like_path(const std::string& name);

/// The file of a hardware id, or of a path (relative to `base`, the folder of the scenario, or to
/// the current one). UserError lists the nearest known id.
std::string find_profile(const std::string& id_or_path, const std::vector<std::string>& roots,
                         const std::string& base = "");

/// The same for a network: bundled id, Hugging Face repository, config.json or folder.
std::string find_llm(const std::string& id_or_path, const std::vector<std::string>& roots,
                     const std::string& base = "");

LlmConfig load_llm(const std::string& id_or_path,
                   const std::vector<std::string>& roots = search_roots(),
                   const LlmOptions& options = {}, const std::string& base = "");

/// Ids that are found, sorted, without template.
std::vector<std::string> profile_ids(const std::vector<std::string>& roots = search_roots());
std::vector<std::string> llm_ids(const std::vector<std::string>& roots = search_roots());

}  // namespace kvroof
