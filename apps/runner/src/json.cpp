#include "json.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "error.h"
#include "quote.h"

namespace runner {
namespace {

// A value as it may stand in an error: one line, cut.
std::string describe(const Json& value) {
  return quote(value.is_string() ? value.get<std::string>()
                                 : value.dump(-1, ' ', true, Json::error_handler_t::replace));
}

}  // namespace

std::string joined(const Texts& words) {
  return std::accumulate(words.begin(), words.end(), std::string(),
                         [](const std::string& a, const std::string& b) { return a.empty() ? b : a + ", " + b; });
}

Json parse_json(std::string_view text, const std::string& where) {
  const bool marked = text.starts_with("\xEF\xBB\xBF");  // a byte order mark, which JSON does not have
  Json value = marked ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
  require(!value.is_discarded(), where + ": expected JSON, got something else; export the bundle again");
  return value;
}

Fields::Fields(const Json& value, std::string where, std::initializer_list<const char*> names)
    : value_(value), where_(std::move(where)) {
  require(value.is_object(), where_ + ": expected an object, got " + describe(value) + "; export the bundle again");
  const std::set<std::string> known(names.begin(), names.end());
  for (const auto& entry : value.items()) {
    require(known.count(entry.key()) == 1,
            where_ + ": expected only known fields, got " + describe(entry.key()) + "; export the bundle again");
  }
  for (const std::string& name : known) {
    require(value.contains(name), where_ + ": expected the field " + name + ", got none; export the bundle again");
  }
}

const std::string& Fields::word(const char* name, const Texts& choices) const {
  if (std::find(choices.begin(), choices.end(), text(name)) == choices.end()) refuse(name, "one of " + joined(choices));
  return text(name);
}

void Fields::refuse(const std::string& name, const std::string& expected) const {
  const std::string got = value_.contains(name) ? describe(value_.at(name)) : "none";
  throw Error(where_ + ": " + name + ": expected " + expected + ", got " + got + "; export the bundle again");
}

const std::string& Fields::text(const char* name) const {
  if (!value_.at(name).is_string()) refuse(name, "text");
  return value_.at(name).get_ref<const std::string&>();
}

std::int64_t Fields::whole(const char* name) const {
  const Json& value = value_.at(name);
  const bool large = value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX;
  if (!value.is_number_integer() || large) refuse(name, "a whole number");
  return value.get<std::int64_t>();
}

double Fields::number(const char* name) const {
  if (!value_.at(name).is_number()) refuse(name, "a number");
  return value_.at(name).get<double>();
}

bool Fields::flag(const char* name) const {
  if (!value_.at(name).is_boolean()) refuse(name, "true or false");
  return value_.at(name).get<bool>();
}

const Json& Fields::list(const char* name) const {
  if (!value_.at(name).is_array()) refuse(name, "a list");
  return value_.at(name);
}

const Json& Fields::object(const char* name) const {
  if (!value_.at(name).is_object()) refuse(name, "an object");
  return value_.at(name);
}

std::vector<std::string> Fields::texts(const char* name) const {
  std::vector<std::string> found;
  for (const Json& item : list(name)) {
    if (!item.is_string()) refuse(name, "a list of texts");
    found.push_back(item.get<std::string>());
  }
  return found;
}

std::vector<double> Fields::numbers(const char* name) const {
  std::vector<double> found;
  for (const Json& item : list(name)) {
    if (!item.is_number()) refuse(name, "a list of numbers");
    found.push_back(item.get<double>());
  }
  return found;
}

}  // namespace runner
