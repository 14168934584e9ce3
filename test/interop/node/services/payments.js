'use strict'
const mongoose = require('mongoose')
const { statuses, versioned } = require('../models')
const { badRequest, notAuthorized, notFound } = require('./http')
const { publish, run } = require('./service')

const Order = mongoose.model('Order', versioned({
  userId: { type: String, required: true },
  price: { type: Number, required: true },
  status: { type: String, required: true, enum: statuses }
}))
const Payment = mongoose.model('Payment', new mongoose.Schema({
  orderId: { type: String, required: true },
  stripeId: { type: String, required: true }
}))
// Charge is what the bank knows: the money is taken once one is stored.
const Charge = mongoose.model('Charge', new mongoose.Schema({ orderId: String, amount: Number }))

run('payments-service', {
  'order:created': ({ id, version, userId, status, ticket }) =>
    new Order({ _id: id, version, userId, status, price: ticket.price }).save(),
  'order:cancelled': async ({ id, version }) => {
    const order = await Order.findOne({ _id: id, version: version - 1 })
    if (!order) throw new Error('Order not found')
    order.set({ status: 'cancelled' })
    await order.save()
  }
}, [
  ['POST', '/api/payments', 201, async ({ body, user }) => {
    const userId = user().id
    if (!body.token) throw badRequest('Token is required', 'token')
    const order = await Order.findById(body.orderId)
    if (!order) throw notFound()
    if (order.userId !== userId) throw notAuthorized()
    if (order.status === 'cancelled') throw badRequest('Cannot pay for a cancelled order')
    const charge = await Charge.create({ orderId: order.id, amount: order.price * 100 })
    const payment = await Payment.create({ orderId: order.id, stripeId: charge.id })
    await publish('payment:created', { id: payment.id, orderId: payment.orderId, stripeId: payment.stripeId })
    return { id: payment.id }
  }]
])
