// JSON read strictly: an object has exactly the fields that are asked for, each of its type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace runner {

using Json = nlohmann::json;
using Texts = std::vector<std::string>;

// The words with commas in between.
std::string joined(const Texts& words);

// The JSON of a text; throws Error naming `where` when it is not JSON.
Json parse_json(std::string_view text, const std::string& where);

// An object whose fields are known.
class Fields {
 public:
  // Throws Error when `value` is no object, or a field is missing or unknown.
  Fields(const Json& value, std::string where, std::initializer_list<const char*> names);

  const std::string& text(const char* name) const;
  std::int64_t whole(const char* name) const;
  double number(const char* name) const;
  bool flag(const char* name) const;
  const Json& list(const char* name) const;
  const Json& object(const char* name) const;
  std::vector<std::string> texts(const char* name) const;
  std::vector<double> numbers(const char* name) const;

  // A text that is one of several words.
  const std::string& word(const char* name, const Texts& choices) const;

  // Throws Error naming the field.
  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const;

 private:
  const Json& value_;
  std::string where_;
};

}  // namespace runner
