-- Only what its gates refused can be validated by hand; the operator refuses the rest with a sentence.
local status = obj.status or {}

local missed = false
for _, each in ipairs(status.gates or {}) do
  missed = missed or not each.passed
end

return {
  validate = {
    disabled = status.phase ~= "Rejected" or not missed,
    displayName = "Validate although its gates refused it",
    iconClass = "fa fa-fw fa-gavel",
    params = {{name = "reason", default = ""}}
  }
}
