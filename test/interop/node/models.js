'use strict'
const mongoose = require('mongoose')
const { updateIfCurrentPlugin } = require('mongoose-update-if-current')

// versioned returns a schema whose documents count their saves in version and
// are printed with id.
exports.versioned = (fields) => {
  const schema = new mongoose.Schema(fields, {
    toJSON: {
      transform (_doc, ret) {
        ret.id = ret._id
        delete ret._id
      }
    }
  })
  schema.set('versionKey', 'version')
  schema.plugin(updateIfCurrentPlugin)
  return schema
}

exports.statuses = ['created', 'cancelled', 'awaiting:payment', 'complete']
